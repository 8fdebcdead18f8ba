package guest

import "context"

func (m *machine) startServices(context.Context) {}
func (m *machine) stopServices()                 {}
func askPower(name string, args []string) int    { return 1 }
func askServices(name string, args []string) int { return 1 }
