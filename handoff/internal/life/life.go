package life

import "slices"

// A State is where the Service stands.
type State int

const (
	Starting  State = iota // Run has begun; READY=1 was not sent
	Serving                // READY=1 was sent
	Releasing              // RELEASE came: work is finished, and nothing is saved yet
	Reopening              // RESUME came before anything was saved: it serves once it has stopped accepting
	Saving                 // states are being saved: RESUME has to wait until they are
	Released               // all is left to the successor, and the manager was told so
	Waiting                // RESUME came while states were being saved
	Resuming               // State.Resume is being called
	Cutting                // the same, cut short by a second interrupt
	Closing                // told to stop after a release: it has not stopped accepting yet
	Draining               // told to stop
	Ended                  // Run returns
	states
)

// An Event is what happened.
type Event int

const (
	Started      Event = iota // servers serve, and what was inherited was looked at
	StartFailed               // Run cannot begin
	StopAsked                 // SIGTERM, SIGINT, Stop, or the end of Run's context
	Interrupted               // a second SIGINT
	ReloadAsked               // SIGHUP
	ReloadDone                // the functions of OnReload are through
	TaskFailed                // a server, a function of Go or a State.Load has failed
	ReleaseAsked              // RELEASE on HANDOFF_SOCKET
	ResumeAsked               // RESUME on HANDOFF_SOCKET
	AcceptEnded               // the shutdown under way has stopped accepting
	SaveAsked                 // its work is finished: may it save states?
	ShutdownDone              // it is over
	StatesBack                // the functions State.Resume have returned
	StatesLost                // one of them has failed
	events
)

// An Effect is what the Service does next.
type Effect int

const (
	SendReady         Effect = iota // READY=1
	BeginReload                     // RELOADING=1; ReloadDone follows
	EndReload                       // READY=1, and the verdict
	BeginShutdown                   // for a release: listeners stay open
	BeginLastShutdown               // for the drain: listeners are closed
	AbandonShutdown                 // its work goes on beside the next period, and it saves nothing
	CloseListeners                  // of a shutdown that has begun as a release
	HurryShutdown                   // cut it short
	ResumeStates                    // StatesBack or StatesLost follows
	CutResume                       // cut that short
	BeginPeriod                     // serve anew
	SendReleased                    // with the number of the last RELEASE
	SendResumed                     // with the number of the last RESUME
	SendStopping                    // STOPPING=1; no reload any more
	ReportCause                     // Options.Report: the service goes on
	Return                          // Run returns, with what made it stop
	effects
)

type step struct {
	to State
	do []Effect
}

// table has a cell for each event that a state takes.
var table = [states][events]*step{
	Starting: {
		Started:     {Serving, []Effect{SendReady}},
		StartFailed: {Ended, []Effect{Return}},
	},
	Serving: {
		StopAsked:    {Draining, []Effect{SendStopping, BeginLastShutdown}},
		TaskFailed:   {Draining, []Effect{SendStopping, BeginLastShutdown}},
		ReloadAsked:  {Serving, []Effect{BeginReload}},
		ReloadDone:   {Serving, []Effect{EndReload}},
		ReleaseAsked: {Releasing, []Effect{BeginShutdown}},
		ResumeAsked:  {Serving, []Effect{SendResumed}},
	},
	Releasing: {
		StopAsked:    {Closing, []Effect{SendStopping}},
		TaskFailed:   {Releasing, []Effect{ReportCause}},
		ReloadAsked:  {Releasing, []Effect{BeginReload}},
		ReloadDone:   {Releasing, []Effect{EndReload}},
		ReleaseAsked: {Releasing, nil}, // with another number
		ResumeAsked:  {Reopening, []Effect{AbandonShutdown}},
		SaveAsked:    {Saving, nil},
	},
	Reopening: {
		TaskFailed:  {Reopening, []Effect{ReportCause}},
		ReloadDone:  {Reopening, []Effect{EndReload}},
		AcceptEnded: {Serving, []Effect{BeginPeriod, SendResumed}},
	},
	Saving: {
		StopAsked:    {Closing, []Effect{SendStopping}},
		TaskFailed:   {Saving, []Effect{ReportCause}},
		ReloadAsked:  {Saving, []Effect{BeginReload}},
		ReloadDone:   {Saving, []Effect{EndReload}},
		ReleaseAsked: {Saving, nil},
		ResumeAsked:  {Waiting, nil},
		ShutdownDone: {Released, []Effect{SendReleased}},
	},
	Released: {
		StopAsked:    {Closing, []Effect{SendStopping}},
		TaskFailed:   {Released, []Effect{ReportCause}},
		ReloadAsked:  {Released, []Effect{BeginReload}},
		ReloadDone:   {Released, []Effect{EndReload}},
		ReleaseAsked: {Released, []Effect{SendReleased}},
		ResumeAsked:  {Resuming, []Effect{ResumeStates}},
	},
	Waiting: {
		StopAsked:    {Closing, []Effect{SendStopping}},
		TaskFailed:   {Waiting, []Effect{ReportCause}},
		ReloadDone:   {Waiting, []Effect{EndReload}},
		ShutdownDone: {Resuming, []Effect{ResumeStates}},
	},
	Resuming: {
		Interrupted: {Cutting, []Effect{CutResume}},
		TaskFailed:  {Resuming, []Effect{ReportCause}},
		ReloadDone:  {Resuming, []Effect{EndReload}},
		StatesBack:  {Serving, []Effect{BeginPeriod, SendResumed}},
		StatesLost:  {Closing, []Effect{SendStopping}},
	},
	Cutting: {
		TaskFailed: {Cutting, []Effect{ReportCause}},
		ReloadDone: {Cutting, []Effect{EndReload}},
		// They have left the store, so they have to be saved anew.
		StatesBack: {Draining, []Effect{BeginPeriod, SendStopping, BeginLastShutdown, HurryShutdown}},
		StatesLost: {Closing, []Effect{SendStopping}},
	},
	Closing: {
		Interrupted: {Closing, []Effect{HurryShutdown}},
		TaskFailed:  {Closing, []Effect{ReportCause}},
		AcceptEnded: {Draining, []Effect{CloseListeners}},
		SaveAsked:   {Closing, nil},
	},
	Draining: {
		Interrupted:  {Draining, []Effect{HurryShutdown}},
		TaskFailed:   {Draining, []Effect{ReportCause}},
		SaveAsked:    {Draining, nil},
		ShutdownDone: {Ended, []Effect{Return}},
	},
}

// A Machine is one Service's life. Its zero value is at the start.
type Machine struct{ state State }

// State returns where it stands.
func (m *Machine) State() State { return m.state }

// Takes reports whether e can be handled now. If not, it stays where it waits.
func (m *Machine) Takes(e Event) bool { return table[m.state][e] != nil }

// Handle takes note of e, and returns what follows, to be done in that order. An
// event that is not taken changes nothing.
func (m *Machine) Handle(e Event) []Effect {
	s := table[m.state][e]
	if s == nil {
		return nil
	}
	m.state = s.to
	return slices.Clone(s.do)
}
