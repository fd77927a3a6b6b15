module example.com/parcels/real/crier

go 1.26.0

require (
	example.com/parcels v0.0.0
	github.com/gen2brain/beeep v0.0.0-20190317152856-aa3d7c1499fd
)

require (
	github.com/godbus/dbus v4.1.0+incompatible // indirect
	github.com/tadvi/systray v0.0.0-20190226123456-11a2b8fa57af // indirect
	golang.org/x/sys v0.50.0 // indirect
)

replace example.com/parcels => ../../
