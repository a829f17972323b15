// Package archtest holds the repository to its architecture: which package may
// import which, one door for every big dependency, and what a file may be. It
// has tests only.
package archtest
