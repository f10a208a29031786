% SetUpL12_5_rtelasto - plane waves on an L12-5, every frame to rtelasto
%
% Run it as any SetUp script, with bridge/ and bridge/verasonics/ on the path and rtelasto_mex built.
% Set these before, or edit them here:
%   RtelastoProbe     'L12-5 38mm' or 'L12-5 50mm'
%   RtelastoOptions   struct, see rtelasto_sequence: source 'receive' or 'inter', depth, angles, rate
%   RtelastoEndpoint  where to bind, tcp://127.0.0.1:5555
%   RtelastoKeys      folder of keys (rtelasto keys), where other machines connect
% Not tried on a Vantage: see bridge/README.md.
clear Trans Resource TW TX TGC Receive Recon ReconInfo PData Process SeqControl Event P
clear rtelasto_receive rtelasto_inter % they keep what they read of the structures
rtelasto_mex('close');
if ~exist('RtelastoProbe', 'var')
    RtelastoProbe = 'L12-5 38mm';
end
if ~exist('RtelastoOptions', 'var')
    RtelastoOptions = struct();
end

Trans.name = RtelastoProbe;
Trans.units = 'wavelengths';
Trans.frequency = 7.8125; % a quarter of 31.25 MHz, which the receivers can sample at
if isfield(RtelastoOptions, 'sound_speed')
    Resource.Parameters.speedOfSound = RtelastoOptions.sound_speed; % computeTrans reads it
end
Trans = computeTrans(Trans);

S = rtelasto_sequence(Trans, RtelastoOptions);
P = S.P;
Resource = S.Resource;
TW = S.TW;
TX = S.TX;
Receive = S.Receive;
Process = S.Process;
SeqControl = S.SeqControl;
Event = S.Event;
if isfield(S, 'PData')
    PData = S.PData;
    Recon = S.Recon;
    ReconInfo = S.ReconInfo;
end
for k = 1:numel(TX)
    TX(k).Delay = computeTXDelays(TX(k)); % the scanner's own, quantised as it fires them
end
TGC.CntrlPts = [0 300 450 600 700 800 900 1000];
TGC.rangeMax = P.endDepth;
TGC.Waveform = computeTGCWaveform(TGC);
Media.MP = [0 0 60 1; -20 0 100 1; 20 0 140 1]; % for simulateMode 1
clear S k

filename = ['MatFiles/' strrep(RtelastoProbe, ' ', '_') '_rtelasto'];
save(filename);
VSX
