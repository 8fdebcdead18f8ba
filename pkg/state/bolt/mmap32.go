//go:build !(amd64 || arm64 || ppc64le || riscv64 || s390x || loong64)

package bolt

const mmapSize = 64 << 20
