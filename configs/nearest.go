package configs

import "strings"

// nearest is the word that text is a misspelling of, or "". One letter in three may be wrong, and letter case and
// hyphens do not count.
func nearest(text string, words []string) string {
	const longest = 40 // no word is longer; it bounds the work for a text of any length
	if len(text) > longest {
		return ""
	}
	text = strings.ReplaceAll(strings.ToLower(text), "-", "_")
	best, least := "", 0
	for _, word := range words {
		steps := editDistance(text, strings.ToLower(word))
		if steps <= max(1, len(word)/3) && (best == "" || steps < least) {
			best, least = word, steps
		}
	}
	return best
}

// editDistance counts the bytes to insert, remove, replace or swap with their neighbour that make b of a (optimal
// string alignment).
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := 1
			if a[i-1] == b[j-1] {
				replace = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
