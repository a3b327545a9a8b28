// Package packages has no code: it holds what the packages are made of, and their tests.
package packages
