# Two tenants with one address plan on two hosts, as an operator's script would set them up: the lab of two-tenants.yaml
# without its IPv6. Import it with: hnv import examples/operator-script.ps1 -o lab.yaml
param (
    [string]$Nic = "nic1",
    [byte]$PrefixLength = 24
)

$servers = @(
    @{ Name = "host1"; Pa = "192.168.4.11" },
    @{ Name = "host2"; Pa = "192.168.4.22" }
)
$blue = "{11111111-2222-3333-4444-000000005001}"
$red  = "{11111111-2222-3333-4444-000000006001}"

# Every host gets every record and every route.
function Add-Vm {
    param ([string]$Name, [uint32]$Vsid, [string]$Address, [string]$Mac, [string]$Pa)
    $record = @{
        VirtualSubnetID = $Vsid
        CustomerAddress = $Address
        MACAddress      = $Mac
        ProviderAddress = $Pa
        Rule            = "TranslationMethodEncap"
        VMName          = $Name
    }
    foreach ($server in $servers) {
        New-NetVirtualizationLookupRecord @record -CimSession $server.Name | Out-Null
    }
}

function Add-Subnet ($Rdid, $Vsid, $Prefix) {
    New-NetVirtualizationCustomerRoute -CimSession $servers.Name -RoutingDomainID $Rdid -VirtualSubnetID $Vsid `
        -DestinationPrefix $Prefix -NextHop "0.0.0.0" -Metric 255 > $null
}

for ($i = 0; $i -lt $servers.Count; $i++) {
    $session = New-CimSession -ComputerName $servers[$i].Name
    $index = (Get-NetAdapter $Nic -CimSession $session).InterfaceIndex
    New-NetVirtualizationProviderAddress -CimSession $session -ProviderAddress $servers[$i].Pa `
        -InterfaceIndex $index -PrefixLength $PrefixLength | Out-Null
}

Add-Subnet $blue 5001 10.0.0.0/24
Add-Subnet $blue 5002 10.0.1.0/24
Add-Subnet $red  6001 10.0.0.0/24

# The distributed router's addresses and their MACs. Nothing is ever sent to this provider address.
Add-Vm "gateway" 5001 10.0.0.1 060600000101 169.254.254.254
Add-Vm "gateway" 5002 10.0.1.1 060600000201 169.254.254.254

Add-Vm "Blue1" 5001 "10.0.0.5" "060600000005" $servers[0].Pa
Add-Vm "Red1"  6001 "10.0.0.5" "080800000005" $servers[0].Pa
Add-Vm "Blue2" 5001 "10.0.0.7" "060600000007" $servers[1].Pa
Add-Vm "Blue3" 5002 "10.0.1.9" "060600000009" $servers[1].Pa
Add-Vm "Red2"  6001 "10.0.0.7" "080800000007" $servers[1].Pa

Invoke-Command -ComputerName $servers[0].Name -ScriptBlock {
    Get-VMNetworkAdapter -VMName Blue1 | where { $_.MacAddress -eq "060600000005" } | Set-VMNetworkAdapter -VirtualSubnetId 5001
    Get-VMNetworkAdapter -VMName Red1  | where { $_.MacAddress -eq "080800000005" } | Set-VMNetworkAdapter -VirtualSubnetId 6001
}
Invoke-Command -ComputerName $servers[1].Name -ScriptBlock {
    Set-VMNetworkAdapter -VMName Blue2 -VirtualSubnetId 5001
    Set-VMNetworkAdapter -VMName Blue3 -VirtualSubnetId 5002
    Set-VMNetworkAdapter -VMName Red2  -VirtualSubnetId 6001
}
