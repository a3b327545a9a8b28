# Reads the output of "go test -v" for packages and shows what a person wants of it when something is wrong: what the
# failed tests said, and the names of those that failed or were skipped. A skipped test is a failure, since a test that
# did not run has shown nothing; of what fails, go test itself tells make.

# Whose the next lines are. A crash is nobody's.
/^=== (RUN|NAME|CONT|PAUSE) / { test = $3 }
/^(panic: |fatal error: |SIG|WARNING: DATA RACE|# )/ { test = "" }

/^ *--- (PASS|FAIL|SKIP): / {
	test = ""
	result[$3] = $2
	if ($2 != "PASS:")
		trouble = trouble $0 "\n"
	if ($2 == "SKIP:")
		skipped++
}

{ said[++lines] = $0; owner[lines] = test }

# The last line of a package.
/^(ok  |FAIL|\?   )\t/ {
	if (/^FAIL/)
		tell()
	lines = 0
	split("", result)
}

function tell(    i) {
	for (i = 1; i <= lines; i++)
		if (said[i] !~ /^ *--- PASS: |^=== PAUSE/ && (owner[i] == "" || result[owner[i]] == "FAIL:"))
			print said[i]
}

END {
	if (lines > 1) # what go test could not even begin; one line is the last of all, which says what is known
		tell()
	if (trouble != "")
		printf "\nFailed or skipped:\n%s", trouble
	if (skipped) {
		printf "%d skipped. A test that did not run has shown nothing.\n", skipped
		exit 1
	}
}
