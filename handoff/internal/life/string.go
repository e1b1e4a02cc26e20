package life

func (s State) String() string {
	return [states]string{"starting", "serving", "releasing", "reopening", "saving", "released", "waiting", "resuming", "cutting", "closing",
		"draining", "ended"}[s]
}

func (e Event) String() string {
	return [events]string{"Started", "StartFailed", "StopAsked", "Interrupted", "ReloadAsked", "ReloadDone", "TaskFailed",
		"ReleaseAsked", "ResumeAsked", "AcceptEnded", "SaveAsked", "ShutdownDone", "StatesBack", "StatesLost"}[e]
}

func (f Effect) String() string {
	return [effects]string{"SendReady", "BeginReload", "EndReload", "BeginShutdown", "BeginLastShutdown", "AbandonShutdown",
		"CloseListeners", "HurryShutdown", "ResumeStates", "CutResume", "BeginPeriod", "SendReleased", "SendResumed", "SendStopping",
		"ReportCause", "Return"}[f]
}
