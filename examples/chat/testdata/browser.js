// Runs in the chat's own page, in a real browser: it talks through the page's
// WebSocket, counts from 1 up until the friend says "end", and then tells the
// test what it saw.
{
  const diary = { said: 0, heard: [], closed: [], errors: 0 }
  const tell = () => {
    clearInterval(talk)
    diary.status = document.getElementById('status').textContent
    fetch('/diary', { method: 'POST', body: JSON.stringify(diary) })
  }
  const talk = setInterval(() => {
    if (socket.readyState === WebSocket.OPEN) socket.send(++diary.said)
  }, 10)
  socket.addEventListener('error', () => diary.errors++)
  socket.addEventListener('close', e => {
    diary.closed.push(`${e.code} ${e.reason}`)
    tell()
  })
  socket.addEventListener('message', e => {
    diary.heard.push(e.data)
    if (e.data === 'friend: end') {
      clearInterval(talk)
      socket.send('end')
    }
    if (e.data === 'browser: end') tell()
  })
}
