package consul

import "time"

// AnswerWithin makes a store less patient with answers.
func (s *Store) AnswerWithin(d time.Duration) { s.transport.patience = d }
