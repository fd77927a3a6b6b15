module example.com/parcels/real/unpacker

go 1.26

require (
	example.com/parcels v0.0.0
	github.com/klauspost/compress v1.17.11
)

replace example.com/parcels => ../../
