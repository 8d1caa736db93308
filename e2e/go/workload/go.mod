module warren.dev/e2e/workload

go 1.24.0
