module example.com/parcels/real/doorbell

go 1.26

require (
	example.com/parcels v0.0.0
	github.com/fsnotify/fsnotify v1.8.0
)

require golang.org/x/sys v0.13.0 // indirect

replace example.com/parcels => ../../
