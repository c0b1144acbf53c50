package action

import "time"

// testRetry has little patience.
var testRetry = retry{limit: 60 * time.Second, stall: 500 * time.Millisecond, pause: 2 * time.Millisecond}
