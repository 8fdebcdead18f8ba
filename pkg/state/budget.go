package state

// Budget counts what one Update does against the limits. Implementations embed it; the zero value is ready.
type Budget struct {
	seen  map[string]int // key → bytes it will write; operations are its length
	bytes int
	err   error
}

// Op counts an operation on a key (or prefix, or lease: any distinct name), which writes n bytes. Repeating a name keeps the larger.
func (b *Budget) Op(name string, n int) {
	if b.seen == nil {
		b.seen = make(map[string]int)
	}
	if old, again := b.seen[name]; !again || n > old {
		b.bytes += n - old
		b.seen[name] = n
	}
}

// CheckPut refuses a key or value above its own limit, and counts it.
func (b *Budget) CheckPut(key string, value []byte) error {
	err := CheckKey(key)
	if err == nil && len(value) > MaxValue {
		err = &TooLargeError{What: "value", Key: key, Size: len(value), Limit: MaxValue}
	}
	if err != nil {
		b.err = err
		return err
	}
	b.Op(key, len(key)+len(value))
	return nil
}

// Err is what a commit must fail with: a refused key or value, even if fn has swallowed the error of Put, or the whole transaction
// being too large, which is only known at its end.
func (b *Budget) Err() error {
	switch {
	case b.err != nil:
		return b.err
	case len(b.seen) > MaxOps:
		return &TooLargeError{What: "operations", Size: len(b.seen), Limit: MaxOps}
	case b.bytes > MaxTxBytes:
		return &TooLargeError{What: "bytes", Size: b.bytes, Limit: MaxTxBytes}
	}
	return nil
}
