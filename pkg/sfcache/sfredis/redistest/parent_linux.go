package redistest

import "syscall"

// endWithParent lets no server survive a test binary that was killed.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
