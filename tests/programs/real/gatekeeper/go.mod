module example.com/parcels/real/gatekeeper

go 1.26

require (
	example.com/parcels v0.0.0
	golang.org/x/crypto v0.31.0
)

require golang.org/x/sys v0.28.0 // indirect

replace example.com/parcels => ../../
