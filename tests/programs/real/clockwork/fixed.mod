module example.com/parcels/real/clockwork

go 1.26

require (
	example.com/parcels v0.0.0
	github.com/tetratelabs/wazero v1.4.0
)

replace example.com/parcels => ../../
