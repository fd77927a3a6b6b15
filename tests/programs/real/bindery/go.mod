module example.com/parcels/real/bindery

go 1.26

require (
	example.com/parcels v0.0.0
	gopkg.in/natefinch/lumberjack.v2 v2.2.1
)

replace example.com/parcels => ../../
