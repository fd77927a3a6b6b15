module example.com/parcels/real/lookout

go 1.26

require (
	example.com/parcels v0.0.0
	github.com/gorilla/websocket v1.5.3
)

replace example.com/parcels => ../../
