// Package ui is what an operator sees in a browser: server-rendered pages that
// stay live without a reload.
//
// It has no logic of its own. A page is a pure function of what the registry
// says; [board] keeps the little that would cost too much to ask for each page
// (counts, the last event of each machine), and [live] turns the event feed into
// frames: fragments of HTML, rendered once for all browsers, at most ten a
// second, numbered so that a browser that was away learns whether it missed any.
// There is no queue per browser, so a slow one costs nothing.
//
// The pages are templ files (go tool templ generate), the assets come from npm
// and are built into static/dist (npm ci && npm run build). Nothing a browser
// loads comes from another host, and the content security policy holds it to
// that.
package ui

//go:generate go tool templ generate
