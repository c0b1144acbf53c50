package action

import "time"

// testRetry has little patience.
var testRetry = retry{limit: 5 * time.Second, stall: 300 * time.Millisecond, pause: 2 * time.Millisecond}
