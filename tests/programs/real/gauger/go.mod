module example.com/parcels/real/gauger

go 1.26

require (
	example.com/parcels v0.0.0
	github.com/rcrowley/go-metrics v0.0.0-20200313005456-10cdbea86bc0
)

replace example.com/parcels => ../../
