module example.com/parcels/real/atlas

go 1.26

require (
	example.com/parcels v0.0.0
	github.com/prometheus/prometheus v0.54.0
)

require golang.org/x/sys v0.22.0 // indirect

replace example.com/parcels => ../../
