package doctor

// Marks in native tables: compared, and set.

// masked reads `meta mark & 0xff == 1` and `tcp flags & (syn|ack) == syn`.
func masked(body, right any) condition {
	pair, _ := body.([]any)
	if len(pair) != 2 {
		return always(unsure)
	}
	left := object(pair[0])
	if object(left["payload"])["field"] == "flags" {
		return byFlags(names(pair[1]), names(right))
	}
	of := selector(left)
	mask, a := number(pair[1])
	v, b := number(right)
	if of == nil || !a || !b {
		return always(unsure)
	}
	return byMark(of, uint32(v), uint32(mask))
}

// selector is the mark that an expression names; nil: another expression.
func selector(left map[string]any) func(*packet) uint32 {
	switch {
	case object(left["meta"])["key"] == "mark":
		return packetMark
	case object(left["ct"])["key"] == "mark":
		return connectionMark
	}
	return nil
}

// marked compares a whole mark, or its beginning, which nft writes as a prefix.
func marked(of func(*packet) uint32, right any) condition {
	if p := object(object(right)["prefix"]); p != nil {
		v, a := number(p["addr"])
		bits, b := number(p["len"])
		if a && b && bits <= 32 {
			return byMark(of, uint32(v), ^uint32(0)<<(32-bits))
		}
	}
	if v, ok := number(right); ok {
		return byMark(of, uint32(v), ^uint32(0))
	}
	return always(unsure)
}

// mangle reads the setting of a mark.
func (n *nftReader) mangle(r *rule, body map[string]any) {
	of := object(body["key"])
	ct := object(of["ct"])["key"] == "mark"
	if !ct && object(of["meta"])["key"] != "mark" {
		return
	}
	when := len(r.when)
	if !ct && selector(object(body["value"])) != nil && object(object(body["value"])["ct"])["key"] == "mark" {
		r.effects = append(r.effects, effectOf(restoresMark, when))
	}
	if keeps(body["value"], ct) {
		return
	}
	kind := overwritesMark
	if ct {
		kind = overwritesCTMark
	}
	r.effects = append(r.effects, effectOf(kind, when))
}

// keeps tells whether a value leaves our byte of the mark as it is.
func keeps(v any, ct bool) bool {
	for op, body := range object(v) {
		switch pair, _ := body.([]any); op {
		case "meta", "ct":
			return object(body)["key"] == "mark" && (op == "ct") == ct
		case "|", "^", "&":
			if len(pair) != 2 || !keeps(pair[0], ct) {
				return false
			}
			bits, ok := number(pair[1])
			top := uint32(bits) & topByte
			return ok && (op == "&" && top == topByte || op != "&" && top == 0)
		}
	}
	return false
}
