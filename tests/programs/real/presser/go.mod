module example.com/parcels/real/presser

go 1.26

require (
	example.com/parcels v0.0.0
	github.com/DataDog/zstd v1.5.7
)

replace example.com/parcels => ../../
