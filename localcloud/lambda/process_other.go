//go:build unix && !linux

package lambda

import "syscall"

// processAttributes put the process in its own group.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
