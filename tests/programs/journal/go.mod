module example.com/parcels/journal

go 1.19

require (
	example.com/parcels v0.0.0
	github.com/cihub/seelog v0.0.0-20170130134532-f561c5e57575
)

replace example.com/parcels => ../
