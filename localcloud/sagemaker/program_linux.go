package sagemaker

import "syscall"

// ownGroup puts a child into its own process group and ends it with us, however we end.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
