module example.com/parcels/real/tariff

go 1.26

require (
	example.com/parcels v0.0.0
	github.com/hashicorp/golang-lru/v2 v2.0.7
)

replace example.com/parcels => ../../
