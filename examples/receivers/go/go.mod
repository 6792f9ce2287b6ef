module example.com/changehook-receiver

go 1.22
