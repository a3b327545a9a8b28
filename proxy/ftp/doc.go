// Package ftp is the language of the FTP control connection: commands, replies, the host-port notations of PORT, EPRT
// and the passive replies, and a connection that reads them within bounds.
//
// The grammar is that of RFC 959 and RFC 1123 §4.1, with the extensions of RFC 2389 (FEAT), RFC 2428 (EPRT, EPSV),
// RFC 2640 (paths of any bytes) and RFC 3659, on a Telnet layer reduced by RFC 1123 §4.1.2.12. Nothing here decides,
// logs or dials: the conversation itself belongs to package proxy.
//
// Two rules run through the package. What goes on is either the line as it came, byte for byte, or a line regenerated
// from a parsed value, never a line patched in place. And one line in is one line out: whatever another parser could
// read as two lines is refused (commands) or defused (replies).
package ftp
