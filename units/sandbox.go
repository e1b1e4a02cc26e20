package units

// sandbox takes from the service what a server needs not.
func (d Description) sandbox(b *builder) {
	if !d.User {
		d.confine(b)
	}
	comment := "\nThe sandbox, as far as a user's manager may make one on every host. Where users may\nhave user namespaces, PrivateUsers=yes makes CapabilityBoundingSet= and what begins\nwith Protect and Private possible, too."
	if !d.User {
		comment = ""
	}
	families := "AF_UNIX AF_INET AF_INET6"
	if d.Kind.handoffd() {
		families += " AF_NETLINK" // by which it sees who accepts
	}
	b.flags(comment,
		"NoNewPrivileges=yes",
		"RestrictAddressFamilies="+families,
		"RestrictNamespaces=yes",
		"RestrictRealtime=yes",
		"RestrictSUIDSGID=yes",
		"LockPersonality=yes",
	)
	if !d.JIT {
		b.add("Not for programs that make code as they run: Java, Node.js and the like.", "MemoryDenyWriteExecute", "yes")
	}
	b.flags("", "SystemCallArchitectures=native")
	if d.JIT {
		b.add("V8, the engine of Node.js, guards the code that it makes by pkeys(7).", "SystemCallFilter", "@system-service @pkey")
	} else {
		b.add("", "SystemCallFilter", "@system-service")
	}
	b.add("", "UMask", "0077")
}

// confine is what only the system's manager can do.
func (d Description) confine(b *builder) {
	comment := "\nThe sandbox: a user of its own, no capabilities, nothing to write to. A program\nthat keeps files takes StateDirectory=, or User= and ReadWritePaths=."
	b.add(comment, "DynamicUser", "yes")
	b.flags("",
		"CapabilityBoundingSet=",
		"ProtectSystem=strict",
		"ProtectHome=yes",
		"PrivateTmp=yes",
		"PrivateDevices=yes",
		"ProtectKernelTunables=yes",
		"ProtectKernelModules=yes",
		"ProtectKernelLogs=yes",
	)
	if d.Kind.handoffd() {
		d.ownGroups(b, "")
	} else {
		b.add("", "ProtectControlGroups", "yes")
	}
	b.flags("",
		"ProtectClock=yes",
		"ProtectHostname=yes",
		"ProtectProc=invisible",
	)
}

// ownGroups leaves handoffd the cgroups that Delegate= gives it. otherwise is the
// value for a systemd that cannot hide the others; "" is none.
func (d Description) ownGroups(b *builder, otherwise string) {
	const why = "With \"yes\" Delegate= is in vain."
	switch {
	case d.Systemd >= 257:
		b.add(why, "ProtectControlGroups", "private")
	case otherwise != "":
		b.add(why, "ProtectControlGroups", otherwise)
	}
}
