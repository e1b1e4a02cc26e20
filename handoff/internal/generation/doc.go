// Package generation is the state machine of generations: which run of a program
// is started, commits, hands over, serves, resumes, drains and is killed, and what
// callers and the service manager are told of it. Events go in, effects come out;
// there is no clock and no I/O, and the same events lead to the same effects.
//
//	m := generation.New(generation.Options{Probation: time.Second})
//	do(m.Handle(generation.Start{}))
//	for e := range events {
//		do(m.Handle(e)) // the effects, in their order
//	}
//
// The supervisor carries effects out, and reports by events what comes of them.
// It need not sort events: what is late, repeated, or about a generation that is
// over, changes nothing. After Exit nothing is answered any more.
//
// # A generation
//
// At most one generation is the candidate: spawning, starting, ready or handing
// over. At most one is the incumbent: serving, releasing or resuming. All others
// drain or are killed. A candidate is spawned for a reload, or, after a pause,
// because none serves or the incumbent's watchdog ran out.
//
// A candidate that gets ready is committed at once, or after the probation, or by
// Commit if it is held; at once in any case where there is no incumbent that could
// go on. From the commit on:
//
//   - An incumbent that is not resumable is told to stop, and the candidate serves.
//   - A resumable one releases, and what it stores goes to the candidate, which is
//     handing over, and accepts alone. Once that has taken it all, it serves, and
//     only then the predecessor is told to stop.
//   - If the candidate fails before, it has to end, and the predecessor resumes at
//     once: meanwhile clients wait in the listen queue. If the predecessor is lost,
//     or does not release in time, the candidate serves.
//
// The state of a generation after an event, the states in short; with several, the event and the rest of
// the machine decide. "over": it is forgotten. "-": nothing comes of it. "x": this
// cannot happen. TimerFired is the one timer that it has then.
//
//	event        |spawn                 |start                 |ready           |hand     |serve        |release  |resume   |drain    |kill
//	Spawned      |start                 |-                     |-               |-        |-            |-        |-        |-        |-,kill
//	SpawnFailed  |over                  |-                     |-               |-        |-            |-        |-        |-        |-,over
//	Ready        |drain,hand,ready,serve|drain,hand,ready,serve|-               |-        |-            |-        |-        |-        |-
//	Waiting      |-                     |start                 |-               |-        |-            |-        |-        |-        |-
//	Unfit        |-                     |drain                 |drain           |drain    |-            |-        |-        |-        |-
//	Stopping     |-                     |drain                 |drain           |drain    |drain        |drain    |drain    |-        |-
//	Silent       |-                     |drain                 |drain           |drain    |-,drain,serve|release  |-,resume |-        |-
//	Extend       |spawn                 |start                 |-               |-,hand   |-            |-,release|resume   |-,drain  |-
//	Released     |-                     |-                     |-               |-        |-            |-,release|-        |-        |-
//	Taken        |-                     |-                     |-               |-,serve  |-            |-        |-        |-        |-
//	Resumed      |-                     |-                     |-               |-        |-            |-        |serve    |-        |-
//	Exited       |kill,over             |kill,over             |kill,over       |kill,over|kill,over    |kill,over|kill,over|kill,over|-,kill,over
//	Emptied      |-,spawn               |-,start               |-,ready         |-,hand   |-,serve      |-,release|-,resume |-,drain  |-,kill,over
//	TimerFired   |kill                  |drain                 |drain,hand,serve|drain    |serve        |drain    |serve    |kill     |over
//
// # The service
//
// What comes of what is asked for, by Situation. "spawn": at once. "wait": it is
// remembered, and answered later. TimerFired is the pause before a respawn.
//
//	asked        |new   |start      |ready |hand  |undo  |serve     |down      |stop   |over
//	Start        |spawn |-          |-     |-     |-     |-         |-         |-      |-
//	Reload       |refuse|wait       |wait  |wait  |wait  |spawn,wait|spawn,wait|refuse |-
//	Reload DryRun|refuse|wait       |wait  |wait  |wait  |spawn,wait|refuse    |refuse |-
//	Commit       |refuse|refuse     |commit|wait  |refuse|refuse    |refuse    |refuse |-
//	Abort        |refuse|refuse,undo|undo  |refuse|refuse|refuse    |refuse    |refuse |-
//	Stop         |stop  |stop       |stop  |stop  |stop  |stop      |stop      |-      |-
//	Hurry        |-     |-          |-     |-     |-     |-         |-         |-,hurry|-
//	TimerFired   |x     |x          |x     |x     |x     |x         |spawn,wait|x      |x
//
// Each caller gets one Answer, unless Caller is 0. Reloads that are alike and wait
// are answered by one generation, always one that was spawned after the call. They
// take turns: the next one is spawned when the one before serves or is undone. That
// of a held reload comes twice: Held to those who asked for it, and the outcome to
// those who asked for the Commit.
//
// The service manager sees RELOADING=1 and then READY=1 after every Reload without a
// caller, also after one that is refused: systemd may have sent the signal for which
// it stands, and waits for both.
//
// # The rules
//
//  1. Once a generation has been ready, one that is ready accepts at every moment,
//     or was asked to resume and is about to, unless all of them have died or left,
//     until a stop is asked, or the machine gives up. So one that is silent is stopped
//     only when another is ready.
//  2. At most one generation is starting. Reloads meanwhile are remembered, those
//     that are alike once.
//  3. Before the commit a failure leaves the incumbent exactly as it was.
//  4. While a successor is handing over its predecessor is not told to stop, unless it
//     does not release in time: if the successor fails, it resumes.
//  5. What is stored goes to one generation at a time, and comes back from it only
//     when that is over or does not read any more. Nothing is dropped.
//  6. Every wait has a timer, every count a cap, every respawn a pause; the victim
//     of the cap on generations is the one that drains and is the oldest.
//  7. A generation is over when none of its processes is left. What outlives its main
//     process is killed.
//
// A generation that dies before any has served ends the service with its exit
// status, so that the start of the unit fails. Later deaths are answered by
// respawns, until MaxDeaths of them came without one that served for SettleAfter.
package generation
