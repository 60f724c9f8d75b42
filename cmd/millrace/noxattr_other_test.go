//go:build !linux || !(amd64 || arm64)

package main

const canRefuseXattr = false

func runWithoutXattr() { panic("system calls cannot be refused here") }
