package resource

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestHandoverTime: a handler has a moment after Hijack to give its connection to a
// Carrier, and one that has had it holds no drain up.
func TestHandoverTime(t *testing.T) {
	for _, tt := range []struct{ ago, want time.Duration }{
		{0, handoverTime},
		{handoverTime / 4, handoverTime * 3 / 4},
		{time.Hour, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := &leavingHandler{}
			h.running.Add(1)
			defer h.running.Done()
			h.follow(nil)(nil, http.StateHijacked)
			time.Sleep(tt.ago)
			began := time.Now()
			h.handOver(t.Context())
			if got := time.Since(began); got != tt.want {
				t.Errorf("%v after Hijack: waited for %v, want %v", tt.ago, got, tt.want)
			}
		})
	}
}
