module example.com/parcels/real/foreman

go 1.26

require (
	example.com/parcels v0.0.0
	github.com/panjf2000/ants/v2 v2.7.1
)

replace example.com/parcels => ../../
