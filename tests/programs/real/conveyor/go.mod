module example.com/parcels/real/conveyor

go 1.26

require (
	example.com/parcels v0.0.0
	github.com/containerd/fifo v1.1.0
)

require golang.org/x/sys v0.5.0 // indirect

replace example.com/parcels => ../../
