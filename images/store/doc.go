// Package store keeps the disk images that machines are installed from.
//
// An image comes from a URL ([Store.Import]) or is sent ([Store.Upload]). It is
// fetched to its end, checked, unpacked, converted into the format of package
// frame, and only then there, under the name that its content has. All that was
// done is on the disk, so a connection that breaks or a server that is killed costs
// what was not written yet, and nothing that is half done can be seen.
//
// [Store.ServeHTTP] serves the files to machines. DESIGN.md says what lies where.
package store
