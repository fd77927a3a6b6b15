module example.com/parcels/parlour

go 1.19

require (
	example.com/parcels v0.0.0
	github.com/gomodule/redigo v1.9.2
)

replace example.com/parcels => ../
