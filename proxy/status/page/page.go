// Package page holds the dashboard: a page that needs nothing from anywhere but the endpoint that serves it.
//
// All files belong at the endpoint's root, "/" being index.html, and are made for the policy "default-src 'self'": no
// script and no style is inline. The page polls the JSON endpoints beside it, by addresses relative to its own.
package page

import (
	"embed"
	"io/fs"
)

//go:embed index.html style.css icon.svg *.js
var files embed.FS

// Files are those of the page, as http.FileServerFS wants them.
var Files fs.FS = files
