package configs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// choice is one of a few words. Those of later are known words that a later version brings.
func choice[T ~string](at *T, noun string, choices []T, later ...string) kind {
	words := make([]string, len(choices))
	for i, one := range choices {
		words[i] = string(one)
	}
	cure := "write " + orList(words)
	return kind{
		read: func(v value) {
			text, ok := v.text(cure)
			switch {
			case !ok:
			case slices.Contains(words, text):
				*at = T(text)
			case slices.Contains(later, text):
				v.fail("comes with a later version of ftpgate", cure)
			default:
				v.fail("not "+noun, cure)
			}
		},
		print: func() string { return string(*at) },
	}
}

// orList joins words for a sentence: "a, b or c".
func orList(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// boolean is true or false.
func boolean(at *bool) kind {
	const cure = "write true or false"
	return kind{
		read: func(v value) {
			text, ok := v.text(cure)
			switch {
			case !ok:
			case text == "true" || text == "false":
				*at = text == "true"
			default:
				v.fail("neither true nor false", cure)
			}
		},
		print: func() string { return strconv.FormatBool(*at) },
	}
}

// decimal reads a whole number from 1 to most, without sign, leading zeros or underscores: 021 is 17 to one reader of
// YAML and 21 to another.
func decimal(text string, most int) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != text || n < 1 || n > uint64(most) {
		return 0, false
	}
	return int(n), true
}

// count is a whole number from 1 to most.
func count(at *int, most int) kind {
	cure := fmt.Sprintf("write a number from 1 to %d", most)
	return kind{
		read: func(v value) {
			text, ok := v.text(cure)
			if !ok {
				return
			}
			if n, ok := decimal(text, most); ok {
				*at = n
			} else {
				v.fail(fmt.Sprintf("not a number from 1 to %d", most), cure)
			}
		},
		print: func() string { return strconv.Itoa(*at) },
	}
}

// duration is a wait from one second to most, as Go writes it.
func duration(at *time.Duration, most time.Duration) kind {
	cure := "write a duration such as 60s, 15m or 1h30m"
	return kind{
		read: func(v value) {
			text, ok := v.text(cure)
			if !ok {
				return
			}
			d, err := time.ParseDuration(text)
			switch {
			case isNumber(text):
				v.fail("a number without a unit", "write "+text+"s if seconds are meant")
			case err != nil:
				v.fail("not a duration", cure)
			case d < shortestWait || d > most:
				v.fail("out of bounds", "write a duration from "+spell(shortestWait)+" to "+spell(most))
			default:
				*at = d
			}
		},
		print: func() string { return spell(*at) },
	}
}

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

// spell is a duration as people write it: 90s and 15m, not 1m30s and 15m0s.
func spell(d time.Duration) string {
	const minutes = 5 * time.Minute // below it whole seconds are not converted
	if d < minutes && d%time.Second == 0 {
		return strconv.Itoa(int(d/time.Second)) + "s"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// modes is the list of the two ways to ask for a data connection.
func modes(at *Modes) kind {
	const cure = "write [active], [passive] or [active, passive]"
	return kind{
		read: func(v value) {
			items, ok := v.list(2)
			if ok && len(items) == 0 {
				v.fail("an empty list: no data connection could be made", cure)
			}
			var stated Modes
			for _, item := range unique(items) {
				switch text, ok := item.text(cure); {
				case !ok:
				case text == "active":
					stated.Active = true
				case text == "passive":
					stated.Passive = true
				default:
					item.fail("not a mode", "write active or passive")
				}
			}
			*at = stated
		},
		print: func() string {
			var words []string
			if at.Active {
				words = append(words, "active")
			}
			if at.Passive {
				words = append(words, "passive")
			}
			return flow(words)
		},
	}
}

// unique gives the items that do not repeat an earlier one; those that do are recorded.
func unique(items []value) []value {
	seen := make(map[string]bool, len(items))
	var first []value
	for _, item := range items {
		text, ok := scalar(item.node)
		if ok && seen[text] {
			item.fail("stated twice", "keep one")
			continue
		}
		seen[text] = seen[text] || ok
		first = append(first, item)
	}
	return first
}
