// Package life is the state machine of one Service: where it stands between Run and
// the end, and what follows from what happens. Events go in, effects come out;
// there is no clock and no I/O, and it imports nothing of Holdfast.
//
// Run's goroutine feeds it. An event that the present state does not take stays
// where it waits, a signal or an order in its channel, until another state takes
// it: Run's select leaves out the channels for which Takes is false. So nothing is
// lost, and nothing is queued twice.
//
// A period is a time of serving. A shutdown ends it, for a release or for the drain:
// it stops accepting (AcceptEnded), finishes the work under way, asks whether it
// may save the states (SaveAsked), saves them, and is over (ShutdownDone). Of a
// shutdown that was abandoned nothing but its work goes on; Run drops its events,
// and answers no where it asks whether it may save.
//
// Where an event leads. "-": the state stays, and something is done. "": it is not
// taken, and waits.
//
//	event       |starting|serving  |releasing|reopening|saving  |released|waiting |resuming|cutting |closing |draining
//	Started     |serving |         |         |         |        |        |        |        |        |        |
//	StartFailed |ended   |         |         |         |        |        |        |        |        |        |
//	StopAsked   |        |draining |closing  |         |closing |closing |closing |        |        |        |
//	Interrupted |        |         |         |         |        |        |        |cutting |        |-       |-
//	ReloadAsked |        |-        |-        |         |-       |-       |        |        |        |        |
//	ReloadDone  |        |-        |-        |-        |-       |-       |-       |-       |-       |        |
//	TaskFailed  |        |draining |-        |-        |-       |-       |-       |-       |-       |-       |-
//	ReleaseAsked|        |releasing|-        |         |-       |-       |        |        |        |        |
//	ResumeAsked |        |-        |reopening|         |waiting |resuming|        |        |        |        |
//	AcceptEnded |        |         |         |serving  |        |        |        |        |        |draining|
//	SaveAsked   |        |         |saving   |         |        |        |        |        |        |-       |-
//	ShutdownDone|        |         |         |         |released|        |resuming|        |        |        |ended
//	StatesBack  |        |         |         |         |        |        |        |serving |draining|        |
//	StatesLost  |        |         |         |         |        |        |        |closing |closing |        |
//
// # The rules
//
//  1. Once READY=1 was sent, Run returns only after STOPPING=1 and a shutdown that
//     is over, and only once. After STOPPING=1 the manager hears nothing of a reload.
//  2. A period begins only when the one before has stopped accepting, and a
//     shutdown only in a period that has none.
//  3. Once RESUME was taken, the shutdown under way begins no save. One that has
//     begun is waited for.
//  4. State.Resume is called only for what was saved, once, when the shutdown is over.
//  5. RELEASED is sent once for a RELEASE: after the save, and with the number of
//     the last one. RESUMED is sent once for a RESUME, when it serves again. Neither
//     is sent after STOPPING=1.
//  6. Until STOPPING=1, an event that would end the service is either taken or waits
//     for something that ends by itself: stopping to accept, or State.Resume, which a
//     second interrupt cuts short.
package life
