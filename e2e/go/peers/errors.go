package main

import "strings"

// connectStatus is the status that the wire's description gives to the error text of a failed dial.
func connectStatus(text string) int {
	switch {
	case strings.Contains(text, "timeout"), strings.Contains(text, "deadline exceeded"):
		return 504
	case strings.Contains(text, "too many open files"):
		return 503
	default:
		return 502
	}
}
