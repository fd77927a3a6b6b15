module example.com/parcels/clerk

go 1.19

require (
	example.com/parcels v0.0.0
	example.org/wire v0.0.0
)

replace example.com/parcels => ../

replace example.org/wire => ./wire
