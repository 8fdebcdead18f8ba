//go:build race

package tosca

const raceDetector = true
