module example.com/parcels/real/registry

go 1.26

require (
	example.com/parcels v0.0.0
	go.etcd.io/bbolt v1.3.11
)

require golang.org/x/sys v0.4.0 // indirect

replace example.com/parcels => ../../
