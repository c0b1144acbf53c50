// Package catalogue is the operating systems that come with this version, and the
// templates that install them; and it reads entries that operators write, in YAML.
//
// An entry says where a public image is. Nothing is fetched because of it: that is
// done when somebody imports the image, or deploys it.
package catalogue
