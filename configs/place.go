package configs

import "strings"

// Place is where the file at path states a key such as status.token_file: an [Error] without Problem and Cure, for who
// has found something wrong with a value that is right by itself. What cannot be found is left out of it.
func Place(path, key string) *Error {
	data, err := readFile(path)
	if err != nil {
		return &Error{File: path, Key: key}
	}
	at := (&document{file: path}).open(data)
	for _, word := range strings.Split(key, ".") {
		at = at.child(word)
	}
	if !at.stated() {
		return &Error{File: path, Key: key}
	}
	return at.finding("", "")
}
