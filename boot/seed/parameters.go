package seed

import (
	"encoding/json"
	"maps"
	"strings"

	"dragonfly/registry"
)

// Parameters are the documents as parameters of a template. A template puts them into
// its YAML in quotes, such as CONTENTS: {{ .user_data | toJson }}:
//
//	user_data, meta_data, network_config  the files of /var/lib/cloud/seed/nocloud, with dashes for _;
//	                                      user_data is the Ignition or Talos config where that is read
//	cloud_cfg                             /etc/cloud/cloud.cfg.d/99-dragonfly.cfg, see [CloudConfigFile]
//	hostname, ssh_keys                    the name; the keys of the image's own user, a line each
//	netplan, interfaces                   /etc/netplan/50-dragonfly.yaml, /etc/network/interfaces
//	keyfiles, networkd, links             JSON objects: files of NetworkManager's and systemd-networkd's, and *.link files
//	                                      beside those and interfaces, each by its name
//	instance_id, first_boot               the deployment; cloud-init, ignition, talos or none
//	metadata_url, phone_home_url          where the metadata service has the seed; what to POST to when the system is up
//	installer_url                         what an installer POSTs to, as it goes on
//
// What is empty is left out, so that a template that needs it does not render;
// network_config is always there, and leaves the network to the image where
// nothing is said of it.
func (d Documents) Parameters() map[string]string {
	all := map[string]string{
		"first_boot": string(d.FirstBoot), "instance_id": d.InstanceID, "hostname": d.Hostname, "ssh_keys": lines(d.SSHKeys),
		"user_data": d.UserData, "meta_data": d.MetaData, "network_config": d.NetworkConfig,
		"netplan": d.Netplan, "interfaces": d.Interfaces, "keyfiles": object(d.Keyfiles), "networkd": object(d.Networkd), "links": object(d.Links),
	}
	if d.FirstBoot == registry.FirstBootCloudInit {
		all["cloud_cfg"] = CloudConfigFile
	}
	if d.URL != "" {
		all["metadata_url"], all["phone_home_url"], all["installer_url"] = d.URL+"/", d.URL+"/phone-home", d.URL+"/installer"
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// FromParameters is the documents that parameters were made of.
func FromParameters(all map[string]string) Documents {
	d := Documents{
		FirstBoot: registry.FirstBoot(all["first_boot"]), InstanceID: all["instance_id"], Hostname: all["hostname"],
		UserData: all["user_data"], MetaData: all["meta_data"], NetworkConfig: all["network_config"],
		Netplan: all["netplan"], Interfaces: all["interfaces"], URL: strings.TrimSuffix(all["metadata_url"], "/"),
	}
	if keys := all["ssh_keys"]; keys != "" {
		d.SSHKeys = strings.Split(keys, "\n")
	}
	for name, files := range map[string]*map[string]string{"keyfiles": &d.Keyfiles, "networkd": &d.Networkd, "links": &d.Links} {
		_ = json.Unmarshal([]byte(all[name]), files) // empty where there are none
	}
	return d
}

func object(files map[string]string) string {
	if len(files) == 0 {
		return ""
	}
	text, err := json.Marshal(files)
	if err != nil {
		panic(err) // it is texts
	}
	return string(text)
}
