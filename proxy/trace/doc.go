// Package trace tells what really happened to FTP on the wire: it takes packets from a router's interfaces or from a
// file, follows the control connections on both sides of the router and the data connections that they negotiate, and
// tells it as one story.
//
//	Capture or File → Decoder → Segment → Follower → Line (for people)
//	                                              → Recorder (a pcapng with comments)
//
// It believes nothing but packets: it neither asks the daemon nor needs it to run, so that it also tells of FTP through
// the kernel's helper or plain forwarding. It never sends.
package trace
