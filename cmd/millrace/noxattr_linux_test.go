//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const canRefuseXattr = true

// xattrCalls are the system calls of extended attributes. The last four are
// newer than the package's list, and have the same numbers on every kind of CPU.
var xattrCalls = []uint32{
	unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_GETXATTR, unix.SYS_LGETXATTR, unix.SYS_FGETXATTR,
	unix.SYS_LISTXATTR, unix.SYS_LLISTXATTR, unix.SYS_FLISTXATTR, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR,
	463, 464, 465, 466, // setxattrat, getxattrat, listxattrat, removexattrat
}

// runWithoutXattr becomes the program of its arguments, for which, and for all
// that it starts, no file system has extended attributes.
func runWithoutXattr() {
	runtime.LockOSThread()
	err := refuseXattr()
	if err == nil {
		var program string
		if program, err = exec.LookPath(os.Args[1]); err == nil {
			err = syscall.Exec(program, os.Args[1:], os.Environ())
		}
	}
	fmt.Fprintln(os.Stderr, "run without extended attributes:", err)
	os.Exit(1)
}

// refuseXattr makes the kernel answer this thread's calls, and those of the
// program that it becomes, as a file system without extended attributes does.
func refuseXattr() error {
	// A filter sees the call's number at offset 0; the CPU kind, at 4, is this program's own.
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}}
	for i, nr := range xattrCalls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jt: uint8(len(xattrCalls) - i)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EOPNOTSUPP)})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no new privileges: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("set the filter of system calls: %w", err)
	}
	if err := unix.Fsetxattr(-1, "user.test", nil, 0); !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("the filter does not hold: %v", err)
	}
	return nil
}
