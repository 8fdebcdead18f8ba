package account

import "testing"

// Vectors of the specification (Drepper).
func TestVerifyPassword(t *testing.T) {
	for _, c := range []struct {
		hash, password string
		want           bool
	}{
		{"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!", true},
		{"$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.", "Hello world!", true},
		{"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world", false},
		{"!", "", false}, {"*", "*", false}, {"", "", false}, {"!$6$a$b", "x", false},
		{HashPassword("s3cret"), "s3cret", true}, {HashPassword(""), "x", false},
	} {
		got, err := VerifyPassword(c.hash, c.password)
		if err != nil || got != c.want {
			t.Errorf("VerifyPassword(%q, %q) = %v, %v; want %v", c.hash, c.password, got, err, c.want)
		}
	}
}
